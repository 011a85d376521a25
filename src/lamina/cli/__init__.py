"""The command line, thin over the engine: a package for each group of verbs, in it a module for each verb."""
