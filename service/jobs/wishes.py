"""What a caller may ask of a job beside its configuration: some values, and an end."""

from metadata.errors import InvalidRequest
from metadata.records import Configuration, Device
from service.jobs.requests import Hyperparameters, PeftChoice

_AUTO = Hyperparameters()


def check_wishes(wished: Hyperparameters, peft: PeftChoice | None) -> None:
    """Refuse values beside a configuration that says them already.

    Raises:
        InvalidRequest: Both are there.
    """
    is_chosen = peft is not None and (peft.configuration or peft.recommendation_id)
    if is_chosen and wished != _AUTO:
        raise InvalidRequest(
            "hyperparameters say what peft.configuration or peft.recommendation_id says already, "
            "got both. Leave the hyperparameters at auto, or leave the choice to the recommender.",
            param="hyperparameters",
        )


def with_wishes(configuration: Configuration, wished: Hyperparameters) -> Configuration:
    """Return a recommended configuration with what the caller has chosen itself."""
    changes: dict[str, object] = {}
    if wished.n_epochs != "auto":
        changes["epochs"] = float(wished.n_epochs)
    if wished.batch_size != "auto":
        changes["batch_size"] = wished.batch_size
    if wished.learning_rate_multiplier != "auto":
        optimizer = configuration.optimizer
        if optimizer.learning_rate is None:
            raise InvalidRequest(
                f"learning_rate_multiplier multiplies a learning rate, and {optimizer.name}, "
                "which the recommender chose, has none. Leave it at auto.",
                param="hyperparameters.learning_rate_multiplier",
            )
        rate = optimizer.learning_rate * wished.learning_rate_multiplier
        changes["optimizer"] = optimizer.model_copy(update={"learning_rate": rate})
    return configuration.model_copy(update=changes)


def most_seconds(peft: PeftChoice | None, device: Device) -> float | None:
    """Return how long a job may train, None where nothing bounds it.

    Raises:
        InvalidRequest: Money is to bound it, and the price of the device is not known.
    """
    if peft is None:
        return None
    bounds = []
    if peft.max_minutes is not None:
        bounds.append(60.0 * peft.max_minutes)
    if peft.max_usd is not None:
        if not device.usd_per_hour:
            raise InvalidRequest(
                "max_usd needs the price of the device that trains, which is not known here. "
                "Have the server's owner set PEFTWISE_USD_PER_HOUR, or send max_minutes.",
                param="peft.max_usd",
            )
        bounds.append(3600.0 * peft.max_usd / (device.usd_per_hour * device.count))
    return min(bounds, default=None)
