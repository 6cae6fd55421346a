"""What the README claims, measured side by side; each module prints its ratio."""
