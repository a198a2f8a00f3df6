"""What a run does not keep: the one place that compares what comes in with what goes out."""

from streamvsr.fidelity.losses import losses
from streamvsr.fidelity.stages import Stage, stages_of

__all__ = ["Stage", "losses", "stages_of"]
