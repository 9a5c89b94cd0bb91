"""How a campaign is put together: data, the core, the plan, its processes and its files."""
