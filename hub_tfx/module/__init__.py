"""What a module is: its handle, its files, its signatures, and how to load or author one."""
