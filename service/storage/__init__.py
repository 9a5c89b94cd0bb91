"""What the data folder and the database hold: room, age, copies, and failures to keep things."""
