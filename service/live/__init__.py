"""What happens as it happens: streams of server-sent events, all fed by one poller."""
