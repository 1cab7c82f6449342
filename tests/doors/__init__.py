"""The real program against crowds, silence, malice, and the loss of what it stands on."""
