"""Logs to tables, reports and plots; no Ray, no torch."""
