"""Text to plan: reading, checking and compiling recipes. Nothing here imports TensorFlow."""
