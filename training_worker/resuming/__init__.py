"""Going on after a process died: what a checkpoint holds, how it stands on disk, and when."""
