// The tasks of the to-do list, as every story begins with them.

const LIST = [
  { id: 'bread', title: 'Buy bread', list: 'home', owner: 'ana', priority: 2, minutes: 15, tags: ['shop'], done: false },
  { id: 'lamp', title: 'Mend the lamp', list: 'home', owner: 'ben', priority: 1, minutes: 40, tags: ['tools'], done: true },
  { id: 'milk', title: 'Buy milk', list: 'home', owner: 'ana', priority: 3, minutes: 10, tags: ['shop', 'soon'], done: false },
  { id: 'report', title: 'Write the report', list: 'office', owner: 'ben', priority: 3, minutes: 120, tags: [], done: false },
  { id: 'taxes', title: 'File the taxes', list: 'office', owner: 'eva', priority: 1, minutes: 90, tags: ['soon'], done: false },
];

module.exports = { LIST };
