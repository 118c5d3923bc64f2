"""Restrictions that the kernel enforces on a process: Landlock, seccomp and resource limits."""
