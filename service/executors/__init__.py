"""What starts an attempt: the table of engines by the name in the settings."""

from collections.abc import Callable, Mapping

from service.executors.local import LocalExecutor
from service.executors.ray import RayExecutor
from service.executors.spec import Executor
from service.settings import Settings

EXECUTORS: Mapping[str, Callable[[Settings], Executor]] = {
    "local": LocalExecutor,
    "ray": RayExecutor,
}
