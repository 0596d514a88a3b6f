"""One package for each framework: its `d2l.backend.Backend`, its public classes, and what it alone needs.

In each are `backend`, `data_modules`, `devices`, `models`, `modules`, `sgd` and `trainer`.
"""
