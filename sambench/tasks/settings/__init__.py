"""The settings of sambench's own tasks, a module each: what `sambench run NAME` has flags for. Nothing heavy is imported here."""
