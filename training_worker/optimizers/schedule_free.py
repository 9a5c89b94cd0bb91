"""Schedule-free AdamW, its average in place where it is to be kept.

Paper: Defazio, Yang, Mehta, Mishchenko, Khaled, Cutkosky (arXiv:2405.15682).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_optimizer

from training_worker.optimizers.averaging import restored


class AveragedScheduleFreeAdamW(pytorch_optimizer.ScheduleFreeAdamW):
    """pytorch_optimizer's, which has its weights where gradients are taken while it trains."""

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the weights be the average inside the block, and as they were after it."""
        with restored([weight for group in self.param_groups for weight in group["params"]]):
            self.eval()  # type: ignore[no-untyped-call]
            try:
                yield
            finally:
                for group in self.param_groups:  # `train` would round the weights on their way
                    group["train_mode"] = True
