"""User-Mode Linux: a whole kernel as a process, with what the machine's own kernel may lack."""
