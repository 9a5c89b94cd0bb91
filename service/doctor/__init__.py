"""Does all that is promised hold? The ten promises as SQL, and what the service stands on."""
