"""What the pages show: data in, a frozen page out. Pure; templates decide nothing."""
