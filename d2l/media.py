"""The media types of outputs that carry numbers, so that programs compare and draw these and not pictures or text."""

# {"xlabel": str, "curves": {label: [[x, y], ...]}}
CURVES_MIME = "application/vnd.d2l.curves+json"
# What a run's last line says, by name: profile, epochs, device, metrics and so on.
RUN_MIME = "application/vnd.d2l.run+json"
