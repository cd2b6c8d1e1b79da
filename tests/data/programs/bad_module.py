value = (1
