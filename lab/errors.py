"""What can go wrong with the lab. Owns its errors, nothing else."""

from segmentation.errors import FirebreakError


class LabError(FirebreakError):
    """The lab could not be built, used or taken down."""

    code = "lab"


class LabBusyError(LabError):
    """Another process holds the lab of this name."""

    code = "lab-busy"


class LabCommandError(LabError):
    """A command inside a host of the lab failed."""

    code = "lab-command"
