"""How images come and go: pull, push, save, load, import, export."""
