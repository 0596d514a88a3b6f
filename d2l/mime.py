"""The media types of outputs that carry numbers, so that programs compare and draw these and not pictures or text."""

import json
import math
from collections.abc import Mapping
from typing import Any

# {"xlabel": str, "curves": {label: [[x, y], ...]}}, where a y that training has lost is null.
CURVES_MIME = "application/vnd.d2l.curves+json"
# What a run's last line says, by name: profile, epochs, device, precision, metrics and so on.
RUN_MIME = "application/vnd.d2l.run+json"


def json_safe(value: Any) -> Any:
    """What JSON can hold of a value: numbers that are not finite, which it lacks, become ``None``."""
    if isinstance(value, Mapping):
        return {name: json_safe(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(value: Any) -> str:
    """A value as JSON; numbers may be NumPy's or a framework's."""
    from .plotting import to_numpy  # only now, since pyplot takes a second to import, and longer the first time

    return json.dumps(value, default=lambda number: to_numpy(number).tolist())
