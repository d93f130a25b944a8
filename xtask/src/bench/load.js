// Work as a server has it, for so many seconds: rows to JSON and back, sorting, objects of several classes, text cut
// into words, compression and digests.

const crypto = require('crypto');
const zlib = require('zlib');

const until = Date.now() + Number(process.argv[2]) * 1000;

class Square {
    constructor(side) { this.side = side; }
    area() { return this.side * this.side; }
}

class Circle extends Square {
    area() { return Math.PI * this.side * this.side; }
}

function row(i) {
    return { id: i, name: 'name' + (i * 7919) % 1000, tags: ['a' + i % 7, 'b' + i % 11], price: i * 1.25 };
}

function words(text) {
    const seen = new Map();
    for (const word of text.match(/[a-z]+\d*/g)) seen.set(word, (seen.get(word) || 0) + 1);
    return [...seen].sort((one, other) => other[1] - one[1]);
}

function request(n) {
    const text = JSON.stringify(Array.from({ length: 300 }, (_, i) => row(n + i)));
    const rows = JSON.parse(text).filter((row) => row.id % 3).sort((one, other) => one.name < other.name ? -1 : 1);
    const shapes = rows.map((row) => row.id % 2 ? new Square(row.id) : new Circle(row.id));
    const area = shapes.reduce((sum, shape) => sum + shape.area(), 0);
    return crypto.createHash('sha256').update(zlib.gzipSync(text)).digest('hex') + area + words(text)[0];
}

let served = 0;

function turn() {
    for (let i = 0; i < 5; i++) request(served++);
    if (Date.now() < until) setImmediate(turn);
}

turn();
