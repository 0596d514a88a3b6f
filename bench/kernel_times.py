"""How long each kernel of a program takes, from the frameworks' profilers, and which part of a training step it is."""

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A kernel is of the first part whose pattern its name has, so one that does several things counts as one of them. Names
# are those of CUDA kernels and Triton's, of PyTorch's operators, and of what JAX traced, with its way to there: what is
# transposed is a gradient. Layers without parameters have no name of their own in that way.
PATTERNS = {
    "images": r"scaled_and_resized|_permutation\b|aten::index\b|index_elementwise|vectorized_gather|/gather",
    "pooling, backward": r"pool\w*backward|unpool|select_and_scatter|transpose\(jvp.*/net/(?!layers_)(?!.*relu)",
    "pooling, forward": r"pool|reduce_window",
    "layout": r"nhwctonchw|nchwtonhwc|nocast.*direct_copy|(^|\s)copy[._]|transpose_fusion|wrapped_(copy|transpose)",
    "convolutions, backward": r"convolution_backward|dgrad|wgrad|transpose\(jvp.*conv_general|cudnn.*splitk",
    "convolutions, forward": r"convolution|fprop|conv_general|cudnn",
    "dense layers": r"gemm|nvjet|cublas|splitk|aten::(addmm|b?mm)\b|dot_general|\bdot\b",
    "optimizer": r"multi_tensor_apply|fused_?sgd|optimizer|aten::(_foreach|add_)|^jit\(\w+\)/(mul|add|sub)\b",
    "dropout": r"dropout|masked_scale|bernoulli|threefry|uniform",
    "ReLU": r"relu|threshold|clamp|/net/(?!layers_)",
    "bias": r"functor_add|reduce_kernel|aten::sum\b|layers_\d+/(add|reduce_sum)\b",
    "casts and copies": r"copy|convert_element_type",
}
THE_REST = "the rest"

Kernels = dict[str, float]  # seconds by name


def part_of(kernel: str) -> str:
    """The part of a training step that a kernel is, by its name."""
    return next((part for part, pattern in PATTERNS.items() if re.search(pattern, kernel, re.I)), THE_REST)


def torch_kernels(action: Callable[[], object], on_gpu: bool) -> Kernels:
    """Kernels of a GPU while an action runs, replayed CUDA graphs among them, or operators of PyTorch's on a CPU."""
    from torch.profiler import DeviceType, ProfilerActivity, profile, supported_activities

    activities = supported_activities() - {ProfilerActivity.CPU} if on_gpu else {ProfilerActivity.CPU}
    with profile(activities=activities) as found:
        action()
    events = [event for event in found.key_averages() if not event.is_user_annotation]
    if not on_gpu:
        return {event.key: event.self_cpu_time_total / 1e6 for event in events}
    return {e.key: e.self_device_time_total / 1e6 for e in events if e.device_type != DeviceType.CPU}


def jax_kernels(action: Callable[[], object]) -> Kernels:
    """Kernels of a GPU while an action runs, by what JAX traced and by what XLA calls them."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            action()
        (file,) = Path(folder).rglob("*.xplane.pb")
        planes = jax.profiler.ProfileData.from_file(str(file)).planes
        events = [
            (event.name, dict(event.stats), event.duration_ns)
            for plane in planes
            if plane.name.startswith("/device:GPU")
            for line in plane.lines
            if line.name.startswith("Stream")
            for event in line.events
        ]
    executables = jax.local_devices()[0].client.live_executables()
    programs = {module.name: module.to_string() for one in executables for module in one.hlo_modules()}
    return traced(events, programs)


def traced(events: list[tuple[str, dict[str, Any], float]], programs: dict[str, str]) -> Kernels:
    """Events of XLA's profiler by names that say what JAX traced.

    Args:
        events: A kernel's name, facts such as the instruction (``hlo_op``) and the program (``hlo_module``) that it is
            of, and its nanoseconds. Within a CUDA graph the facts may be missing; a kernel has its instruction's name.
        programs: XLA's texts by their names.
    """
    origins: dict[tuple[str, str], str] = {}
    # What is not said to be of a program is looked for in the longest: the training step.
    for program, text in sorted(programs.items(), key=lambda item: -len(item[1])):
        for instruction, origin in re.findall(r'^\s*(?:ROOT )?%?(\S+) = .*metadata=\{op_name="([^"]*)"', text, re.M):
            for key in (program, ""):
                origins.setdefault((key, _as_kernel(instruction)), origin)
    seconds: dict[str, float] = defaultdict(float)
    for name, facts, nanoseconds in events:
        program, instruction = facts.get("hlo_module", ""), _as_kernel(facts.get("hlo_op", name))
        origin = origins.get((program, instruction)) or origins.get(("", instruction), instruction)
        seconds[f"{origin} {name}"] += nanoseconds / 1e9
    return dict(seconds)


def _as_kernel(instruction: str) -> str:
    """An instruction's name as XLA writes it where only words can stand."""
    return re.sub(r"\W", "_", instruction)


# By framework and whether it trains on a GPU. On a CPU JAX's convolutions run on threads that its profiler leaves out.
PROFILERS: dict[tuple[str, bool], Callable[[Callable[[], object]], Kernels]] = {
    ("pytorch", False): lambda action: torch_kernels(action, on_gpu=False),
    ("pytorch", True): lambda action: torch_kernels(action, on_gpu=True),
    ("jax", True): jax_kernels,
}
