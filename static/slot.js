// What the browser keeps under a name, over a reload and a closed tab; null when there is nothing, or it may keep nothing.

export function slot(name) {
  return {
    name,
    read() {
      try {
        return JSON.parse(localStorage.getItem(name));
      } catch {
        return null;
      }
    },
    write(value) {
      try {
        if (value) localStorage.setItem(name, JSON.stringify(value));
        else localStorage.removeItem(name);
      } catch {
        // storage is full or forbidden: what is typed is still in the form
      }
    },
  };
}
