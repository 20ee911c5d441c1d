"""What the daemon runs on: worker processes, children, supervision, queues, systemd."""
