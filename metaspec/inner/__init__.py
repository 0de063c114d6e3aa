"""Inner rules: how a task's parameters are updated."""
