"""The flows, and the command line that runs them."""

import tasks  # noqa: F401 (before a flow loads pyarrow)
