package program

func killChildren(int) {}
