"""The contract of the helper: what chapters and users rely on, in every framework, through one adapter for each."""
