"""Faults of data and storage that a user can act on; messages say what, got, expected, where."""


class HcpError(Exception):
    """Base of every error that this project raises for the user's data, files or settings."""


class PlaceError(HcpError, ValueError):
    """A path or URL that cannot be meant: empty, with an unfilled variable, or mangled."""


class SourceError(HcpError):
    """A source of captioned photos cannot be listed or read as a whole."""


class StoreAwayError(SourceError):
    """The place of a source's photos does not answer: no single photo is to blame."""


class ShardError(HcpError):
    """A shard cannot be written, or what is on disk is not what its marker says."""


class VersionError(HcpError):
    """A dataset version does not exist or cannot be read."""


class ContractError(ShardError, VersionError):
    """A data set was written by a later version of this package, which this one cannot read."""


class CacheError(HcpError):
    """A cache of encoded samples is missing, broken, or of another base or other settings."""


class WeightsError(HcpError):
    """Model weights are missing, unknown or not trusted."""


class CheckpointError(HcpError):
    """A checkpoint is incomplete or does not fit the base model."""


class HubError(CheckpointError):
    """The hub does not know a repository, refuses it, or holds no adapter there."""


class ClusterError(HcpError, RuntimeError):
    """A Ray cluster has no room for what is asked of it, and got none in time."""


class TrainingStoppedError(HcpError):
    """A training was asked to stop before its last step, and did so with a checkpoint."""


class DivergedError(HcpError, FloatingPointError):
    """A training's losses or gradients are not finite any more."""


class RegistryError(HcpError):
    """The model registry refused an entry or does not know one."""


class MissingExtraError(HcpError, ImportError):
    """A library is not installed; the message says which extra of this package brings it."""
