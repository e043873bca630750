"""What a release would bring, before it is made: imported only when a plan is made."""
