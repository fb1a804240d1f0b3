// A module that is imported late.
export const late = (): string => "late";
