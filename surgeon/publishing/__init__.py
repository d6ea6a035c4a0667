"""What shows a finished run: its page, pictures, and runs side by side."""
