"""Around each call: deadline, bounds, admission, validation, failing fast."""
