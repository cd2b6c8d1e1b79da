"""Child processes, executors and job queues: spans that continue in another process or thread."""
