"""Where a module keeps its outputs: in its weight, and in what it returns."""

from dataclasses import dataclass

from peft.utils import resolve_quantization_backend
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class Layout:
    """Sizes of a module, and the axes of its outputs: of the weight, and of what it returns."""

    inputs: int
    outputs: int
    weight_axis: int
    result_axis: int = -1

    def on_weight(self, vector: Tensor, weight: Tensor) -> Tensor:
        """Return a vector over the outputs in a shape that multiplies the weight."""
        return _along(vector, self.weight_axis, weight.dim())

    def on_result(self, vector: Tensor, result: Tensor) -> Tensor:
        """Return a vector over the outputs in a shape that goes with the result."""
        return _along(vector, self.result_axis % result.dim(), result.dim())


def layout_of(module: nn.Module) -> Layout:
    """Return a module's layout.

    Raises:
        ValueError: It is quantised, or of a kind that is not known here.
    """
    if _is_quantised(module):
        raise ValueError(
            f"the weights must be plain numbers, and those of a {type(module).__name__} are "
            "quantised. Load the model without quantization"
        )
    match module:
        case nn.Linear():
            return Layout(module.in_features, module.out_features, 0)
        case Conv1D():  # GPT-2's, with its weight as (d_in, d_out)
            inputs, outputs = module.weight.shape
            return Layout(inputs, outputs, 1)
        case nn.Embedding():
            return Layout(module.num_embeddings, module.embedding_dim, 1)
        case nn.LayerNorm() if len(module.normalized_shape) == 1 and module.elementwise_affine:
            (width,) = module.normalized_shape
            return Layout(width, width, 0)
        case nn.Conv2d():
            return Layout(module.in_channels, module.out_channels, 0, -3)
    raise ValueError(f"a {type(module).__name__} is no kind of module that the method knows")


def _is_quantised(module: nn.Module) -> bool:
    try:
        if resolve_quantization_backend(module) is not None:
            return True
    except ValueError:  # torchao's: PEFT asks for what only quantised weights need
        return True
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and not weight.is_floating_point()


def _along(vector: Tensor, axis: int, dimensions: int) -> Tensor:
    shape = [1] * dimensions
    shape[axis] = -1
    return vector.view(shape)
