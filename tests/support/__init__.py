"""What tests and script/bench share: a visitor, constant load, releases by fab, a repository with versions."""
