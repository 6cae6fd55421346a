"""The systems that are trained, and the Ray Train slot that runs them."""
