"""How much of a run to do: all of it, or a small repeatable part. Read from ``D2L_PROFILE``."""

import os
from dataclasses import dataclass
from typing import Any

SEED = 0  # of every smoke run


@dataclass(frozen=True)
class Profile:
    """Limits of a run. ``None`` means no limit.

    Attributes:
        smoke: Use the images shipped with the package and a fixed seed, so that the run repeats itself.
        epochs: Most epochs to train for.
        images: Most images of the training set, and of the test set.
    """

    smoke: bool = False
    epochs: int | None = None
    images: int | None = None

    @property
    def full(self) -> bool:
        """Whether the run does all that its code says."""
        return self == Profile()

    def __str__(self) -> str:
        if self.smoke:
            return "smoke run"
        return "full run" if self.full else "shortened run"


def current_profile() -> Profile:
    """The profile that ``D2L_PROFILE`` names; unset, a full run. Raises as `parse_profile` does."""
    return parse_profile(os.environ.get("D2L_PROFILE", "").strip() or "full")


def parse_profile(text: str) -> Profile:
    """The profile with the given name: ``full``, ``smoke``, or limits of an otherwise full run.

    Limits are written ``epochs=1``, ``images=6000`` or both with a comma between.

    Raises:
        ValueError: The text is something else.
    """
    if text == "full":
        return Profile()
    if text == "smoke":
        return Profile(smoke=True, epochs=2)
    limits = {key: value for key, _, value in (part.partition("=") for part in text.replace(" ", "").split(","))}
    if not limits.keys() <= {"epochs", "images"} or not all(v.isdecimal() and int(v) > 0 for v in limits.values()):
        raise ValueError(
            f"D2L_PROFILE={text!r} is not a run profile: use full, smoke, "
            "or limits such as epochs=1 or epochs=1,images=6000"
        )
    numbers: dict[str, Any] = {key: int(value) for key, value in limits.items()}
    return Profile(**numbers)
