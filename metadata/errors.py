"""Errors a caller can act on: each message says the rule, the value seen and the next step."""


class PeftwiseError(Exception):
    """Base of every error that a user can mend; `param` names the field at fault, if one is."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        """Keep the message and the field it is about."""
        super().__init__(message)
        self.param = param


class InvalidRequest(PeftwiseError):
    """A value is outside what can be asked for."""


class InvalidConfiguration(InvalidRequest):
    """A configuration cannot exist: unknown method, value out of range, rank above the width."""


class InvalidDataset(InvalidRequest):
    """A training file cannot be read; `line` is the first bad line, counted from 1."""

    def __init__(self, message: str, *, line: int | None = None, param: str | None = None) -> None:
        """Keep the message and the line it is about."""
        super().__init__(message, param=param)
        self.line = line


class UnknownModel(InvalidRequest):
    """A base model is neither in the table nor described by a config."""


class UnknownDevice(InvalidRequest):
    """A device is not in the table; the message lists the near ones."""


class NothingFits(InvalidRequest):
    """No configuration fits the budget; the message says what would."""


class TooFewRuns(PeftwiseError):
    """The meta-dataset is too small for what was asked of it."""


class NotFound(PeftwiseError):
    """Nothing is known by that id."""


class Conflict(PeftwiseError):
    """The thing is in a state that does not allow this."""


class Forbidden(PeftwiseError):
    """The caller may not do this."""


class Unauthorized(PeftwiseError):
    """The caller gave no key, or a wrong one."""


class TooLarge(PeftwiseError):
    """A body or a file is over its limit."""


class OverQuota(PeftwiseError):
    """The caller has as much under way as it may."""


class Unavailable(PeftwiseError):
    """Something needed is away for now; asking again later may help."""


class UnknownFate(Unavailable):
    """The database went away while something was written: nobody knows whether it was."""


class NoSpace(PeftwiseError):
    """The disk, or what may be used of it, is full."""
