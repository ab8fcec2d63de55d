"""What people look at: reports, inspections, sheets of samples and maps."""
