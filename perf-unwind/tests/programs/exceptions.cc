// Exceptions that pass through frames, stepped through.
extern "C" {
#include "step.h"
}

#include <stdexcept>
#include <string>
#include <vector>

volatile long sink;

struct Guard {
	~Guard() { sink++; }
};

__attribute__((noinline)) static void throws(int n)
{
	Guard guard;
	if (!n) {
		if (sink % 2)
			throw std::runtime_error("text");
		throw 5;
	}
	throws(n - 1);
	sink++;
}

static void work()
{
	for (int i = 0; i < 2; i++) {
		try {
			throws(3 + i);
		} catch (int number) {
			sink += number;
		} catch (const std::exception &error) {
			sink += error.what()[0];
		}
		sink |= 1;
	}
	std::vector<std::string> words;
	for (int i = 0; i < 5; i++)
		words.push_back(std::to_string(i * 1000) + " and more than fits in place");
	sink += words.size();
}

int main()
{
	step_through(work);
	return 0;
}
