"""The commands of the streams process."""
