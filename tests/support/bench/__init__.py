"""What `script/bench` is made of: a server of its own, the commands it times, what runs beside them, the report."""
