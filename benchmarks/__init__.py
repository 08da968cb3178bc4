"""What is measured by hand, not by the tests."""

import tasks  # noqa: F401  # before pyarrow, whose allocator it chooses
