"""What went wrong, by what the caller should do about it.

ChatFinetuneError
├── TransientError            try again
│   ├── ServiceUnavailableError
│   ├── ThrottledError
│   ├── BusyError
│   ├── SignInExpiredError
│   └── NoCapacityError
└── PermanentError            trying again cannot help; somebody must change something
    ├── ConfigError
    ├── DatasetError
    ├── ComputeNotSuitableError
    ├── QuotaError
    ├── AccessError
    ├── MissingError
    ├── ConflictError
    ├── JobFailedError
    │   └── JobInterruptedError
    ├── JobCancelledError
    ├── DeadlineError
    ├── NotBetterError
    ├── EndpointError
    └── SmokeTestError
"""

from chat_finetune.redaction import redact


class ChatFinetuneError(Exception):
    """An error that an operator can act on.

    Args:
        message: what is wrong, and where.
        remedy: what to do, in one sentence.

    Both are positional plain strings, so that the error survives pickling between processes.
    """

    def __init__(self, message: str, remedy: str) -> None:
        # What Azure or a library said may quote a signed URL or a header.
        self.message, self.remedy = redact(message), redact(remedy)
        super().__init__(self.message, self.remedy)

    def __str__(self) -> str:
        return f"{self.message} → {self.remedy}"


class TransientError(ChatFinetuneError):
    """The same call may succeed later."""


class ServiceUnavailableError(TransientError):
    """The service answered 5xx, or the connection broke."""


class ThrottledError(TransientError):
    """The service answered 429."""


class BusyError(TransientError):
    """Another change of the same resource is under way; perhaps our own, whose answer was lost."""


class SignInExpiredError(TransientError):
    """The service refused the token that it was given: a new one must be asked for."""


class NoCapacityError(TransientError):
    """Azure has no machine of this size free at the moment."""


class PermanentError(ChatFinetuneError):
    """The same call will fail again."""


class ConfigError(PermanentError):
    """A setting or a parameter is not usable."""


class DatasetError(PermanentError):
    """The data cannot be used for training."""


class ComputeNotSuitableError(PermanentError):
    """The VM size or the cluster cannot train or serve this model."""


class QuotaError(PermanentError):
    """The subscription's quota does not cover what was asked for."""


class AccessError(PermanentError):
    """Not signed in, or an identity, the caller's or the endpoint's, lacks a role."""


class MissingError(PermanentError):
    """Something that was named does not exist."""


class ConflictError(PermanentError):
    """The name is taken by something that is not ours, or not this run's."""


class JobFailedError(PermanentError):
    """The job ended as Failed."""


class JobInterruptedError(JobFailedError):
    """The job lost its machine, or never got one: submitted again, it may go on from its checkpoint."""


class JobCancelledError(PermanentError):
    """The job ended as Canceled, by somebody else's hand."""


class DeadlineError(PermanentError):
    """A phase took longer than the configuration allows."""


class NotBetterError(PermanentError):
    """The tuned model did not reach what the configuration asks for."""


class EndpointError(PermanentError):
    """An endpoint or endpoint deployment failed."""


class SmokeTestError(PermanentError):
    """The deployed model answered, but not with an answer."""
