"""AdamW as torch has it, in one kernel where there is one."""

from torch.optim import AdamW

from metadata.records import Configuration
from training_worker.optimizers.groups import Groups, are_on_cuda, unnamed


def build_adamw(
    groups: Groups, configuration: Configuration, *, lr: float, weight_decay: float
) -> AdamW:
    """Return torch's AdamW over the groups.

    On a GPU its whole step is one kernel. On a CPU it is the plain form, whose curves past runs
    carry bit for bit.
    """
    del configuration
    fused = True if are_on_cuda(groups) else None
    return AdamW(unnamed(groups), lr=lr, weight_decay=weight_decay, fused=fused)
