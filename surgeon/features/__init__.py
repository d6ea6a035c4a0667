"""What is computed once: samples and the outputs of frozen layers."""
