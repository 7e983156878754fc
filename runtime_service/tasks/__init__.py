"""Steps that leave the runtime of their run: tasks in the store's queue, for step workers and for other runtimes."""
