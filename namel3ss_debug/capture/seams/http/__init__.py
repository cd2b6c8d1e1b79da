"""HTTP: where requests leave the process, and how an exchange is recorded or answered."""
